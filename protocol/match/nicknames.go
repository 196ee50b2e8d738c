package match

import "strings"

// nicknames are groups of given names that one person may go by. A short name may stand
// in several groups and then matches each long form; long forms of different groups
// never match. Ours; kept small on purpose, because each pair is a pair that is accepted.
var nicknames = []string{
	"william bill will billy liam", "robert bob rob bobby", "elizabeth elisabeth liz beth betty eliza lizzie", "james jim jimmy jamie",
	"michael mike mick", "katherine catherine kathryn kate katie kathy cathy", "alexander aleksandr alexandr aleksander alex sasha",
	"alexandra aleksandra alex sasha", "jonathan jon", "john jack johnny", "richard rick dick rich", "margaret maggie peggy meg",
	"francisco paco", "jose pepe", "thomas tom tommy", "susan sue susie", "steven stephen steve", "daniel dan danny",
	"jennifer jen jenny", "edward ed ted eddie", "charles charlie chuck", "joseph joe", "andrew andy drew", "benjamin ben",
	"samuel sam", "samantha sam", "nicholas nick", "christopher chris", "christina christine chris tina", "patricia pat patty trish",
	"patrick pat", "anthony tony", "theodore ted theo", "rebecca becky", "victoria vicky tori", "gregory greg", "jeffrey jeff",
	"matthew matt", "timothy tim", "zachary zach", "yevgeny evgeny evgenii evgeniy yevgeniy eugene", "muhammad mohammed mohamed mohammad muhammed mohamad",
	"ronald ron", "donald don", "kenneth ken", "raymond ray", "lawrence laurence larry", "gerald jerry", "philip phillip phil",
	"frederick fred freddie", "deborah debra debbie", "jessica jess", "pamela pam", "cynthia cindy", "barbara barb", "judith judy",
	"ignacio nacho", "guadalupe lupe", "manuel manolo", "johannes hans", "friedrich fritz", "sebastian basti", "maximilian max",
	"giuseppe beppe", "dmitri dmitry dmitriy dmitrii dima", "mikhail misha", "nikolai nikolay kolya", "vladimir volodya vova", "sergei sergey",
	"ekaterina yekaterina katya", "anastasia anastasiia nastya", "natalia nataliya nataliia natasha", "tatiana tatyana tanya", "yulia yuliya iuliia julia",
	"katarzyna kasia", "malgorzata gosia", "aleksei aleksey alexey alexei", "andrei andrey", "oleksandr olexandr alexander", "yusuf yousef youssef", "ahmed ahmad",
	"hussein husain hussain hossein", "hasan hassan", "abdullah abdallah", "fatima fatimah", "khalid khaled", "umar omar", "ibrahim ebrahim",
}

// furtherGiven are given names that are common enough to be taken for a surname or to
// stand in the middle, beyond those in nicknames. They decide only whether a result is
// lowered to Review (swapped names) or a middle name may be missing.
var furtherGiven = `anna anne ann maria marie mary mario marco paul peter pierre petra laura lara linda lisa louise louis luis luisa lucas luca lukas
	martin martina mark marcus markus simon simone stefan stefanie stephanie sofia sophia sophie sara sarah emma emily eva ella emil erik eric erica
	david davide diana dieter dominic dominik eduardo elena elias enrique ernest esther felix fernando florian frank franz francis francesco gabriel gabriela
	george georg giorgio giovanni grace hannah harry harold heinrich helena helen helga henry henrik hugo ines ingrid irene isabel isabella ivan jacob jakob
	jan jana jane janet jason javier jean joan joanna jordan jorge juan julian julie justin karen karin karl carl carlos carla carmen carol caroline
	kevin kim klaus kurt lea lee leo leon leonard lena lewis lucia manuela marcel mateo mathias matthias melissa miguel monica nadia nathan nicole nina noah
	oliver olivia oscar otto pablo pedro philippa pia rachel rafael ramon raul ricardo rita roberto roger rosa rose ruth ryan sandra scott sean sergio
	silvia sonia susanne sylvia taylor teresa terry theresa ulrich ursula valentin valentina vera veronica victor viktor vincent walter werner wolfgang
	adam aaron abigail adrian agnes alan albert alice allison amanda amy andrea andreas angela angelo antonio arthur ashley austin bernard bernd brian bruce
	bruno cameron camille cecilia claire clara claudia claude clemens craig dennis denis dylan edith edgar edmund eleanor ethan evan gary gerhard
	gilbert gloria gordon graham guy heather heidi howard ian isaac jackson jasmine jeremy joshua joyce keith kelly kyle lauren leslie logan lucy luke madison
	marion marshall mason maurice max megan miriam morgan neil norman owen parker peggy ralph reid riley rodney roland ross roy russell shirley sidney spencer
	stanley stuart todd tyler vernon virginia warren wayne wesley
	ali hassan hussein omar khalid salem saleh said saeed abbas amin aziz bilal faisal fahad hamid hamza jamal kamal karim kareem mahmoud malik mansour mustafa nasser rashid
	salman samir sami tariq walid yasin zaid zayn aisha amina layla leila mariam maryam nadia noor nour rania salma samira yasmin zainab abdul
	mehmet mustafa emre can deniz cem murat ayse fatma zeynep elif
	wei li lin yang jie jun ming ping hong xin yan yu ying feng hui jing lei long qiang tao wen xiang yong zhi hua fang mei na yi chen han bo kai
	minh van thi anh duc dung ha hai hoa hung huong lan linh long mai nam ngoc phuong quang son thanh thao thu tuan tung viet
	min jin ji soo hyun young jung seung eun yun jae sung ho hee woo joon
	kaori kenji akira hiroshi yuki haruka ken sora ren aoi mika naomi
	raj ravi amit anil sunil vijay kumar ram krishna mohan prakash rajesh suresh ramesh sanjay arjun rahul rohit deepak priya lakshmi devi anita sunita kavita meera
	ivana igor oleg olga irina marina boris anton pavel petr piotr pawel jozef josef tomas tomasz marek milan zoran dragan goran nikola stefana
	wang jiang hu gao he shi xia xu yao ye yuan song tang cheng zhu wu yun
	marc philippe henri yves luc thierry alain didier michel michelle nathalie brigitte sylvie pascal etienne antoine mathieu claudine odile
	kwame kofi kwesi abena ama adwoa chidi emeka ngozi amara moses samson solomon abraham joseph daniel emmanuel blessing`

// groupsOf gives the groups of a name; classOf the class of groups that are linked by a
// shared short name; commonGiven the names of both tables.
var groupsOf, classOf, commonGiven = indexNames()

func indexNames() (groups map[string][]int, class map[string]string, given map[string]bool) {
	groups, class, given = map[string][]int{}, map[string]string{}, words(furtherGiven)
	for i, group := range nicknames {
		names := strings.Fields(group)
		joined := names[0]
		for _, n := range names {
			groups[n], given[n] = append(groups[n], i), true
			if class[n] != "" {
				joined = class[n]
			}
		}
		merge(class, names, joined)
	}
	return groups, class, given
}

// merge puts names, and all that stand with one of them already, into one class.
func merge(class map[string]string, names []string, joined string) {
	for _, n := range names {
		if was := class[n]; was != "" && was != joined {
			for k, v := range class {
				if v == was {
					class[k] = joined
				}
			}
		}
		class[n] = joined
	}
}

// words is the set of the words of a text.
func words(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(text) {
		set[w] = true
	}
	return set
}
